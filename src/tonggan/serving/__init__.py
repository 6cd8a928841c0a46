"""The HTTP server: trained runs and language models behind OpenAI's API shapes. It trains nothing and keeps nothing."""
