"""What `make bench` runs: every figure beside the limit of the same run, as CPU time of the server's processes.

Wall time on a shared machine swings two or three times; CPU time and ratios taken in one run hold. Nothing here is a
test: a figure is printed, never asserted.
"""
