"""The sources of images and labels: built in, torchvision's sets, folders, streams."""
