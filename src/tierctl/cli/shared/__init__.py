"""What commands share: options, values, words, and what is printed."""
