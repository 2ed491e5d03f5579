"""What the model may see of the world around the cursor."""
