"""OpenVINO: its sessions, runs in the memory of a GPU, and its profiles."""
