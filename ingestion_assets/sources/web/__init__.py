"""Pages of the web as documents, asked for as a polite guest would."""
