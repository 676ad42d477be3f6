"""What leaves the house: exports, their papers, and the commands of servers."""
