"""Plan to artifacts: what each kind reads and builds, and the processes in which it is built."""
