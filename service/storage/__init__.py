"""What rooms that keep things on disk share: files that are safe to open, files of our own, disks that refuse."""
