"""Files of text and numbers in, plain values out, or one line that says what is wrong with them.

Every file of text, JSON, TOML, CSV or .npy that the product reads passes through here, whoever
wrote it. What the values mean is for the caller to check.
"""
