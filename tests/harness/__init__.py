"""What puts the installed program to the test: systems that fail, are killed or lose power."""
