"""A number and a noun in, words for a message out."""


def counted(num: int, noun: str) -> str:
    """Write a number of things: "1 video", "2 videos"."""
    return f"{num} {noun}" if num == 1 else f"{num} {noun}s"
