"""Network layers that encoders, fusions and decoders share. They know no modality and read no config file."""
