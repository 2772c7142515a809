"""Architectures in torch; nothing outside this folder imports them before they are asked for."""
