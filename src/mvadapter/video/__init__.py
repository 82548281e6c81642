"""Video files in, frames and pixels out; long videos into segments."""
