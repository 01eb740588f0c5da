"""What tests share: whole programs started the way their owners start them, and the parties that this project did not write."""
