"""Training, generation and export with torch and Hugging Face's libraries. Runs only in a child process; no Qt."""
