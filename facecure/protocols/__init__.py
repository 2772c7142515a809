"""Who is enrolled, who is searched, and how often they are found."""
