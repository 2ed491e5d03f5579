"""What is known of programming languages: tables, grammars, and what a parsed text consists of."""
