"""What models are measured by: metrics, answers, gates, and the files that keep the figures."""
