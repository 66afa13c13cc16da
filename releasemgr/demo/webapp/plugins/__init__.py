"""What a site may switch on in its settings."""
