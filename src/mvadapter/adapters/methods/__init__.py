"""Every method, one file each."""
