"""Where images and labels come from: built in, torchvision's sets, folders, streams."""
