"""One page of HTML that shows all results."""
