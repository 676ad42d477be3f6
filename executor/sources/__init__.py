"""Where rows come from: files of any format, in folders, on the hub or in object storage, read in bounded memory."""
