"""Files on disk, for the rooms that keep any: regular files, private files, disk errors."""
