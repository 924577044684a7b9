"""Where models come from: the package index, the Hugging Face hub, folders that the settings name."""
