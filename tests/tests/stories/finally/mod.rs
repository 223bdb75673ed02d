//! Stories that look back at what all the others did.

mod budget;
mod idle;
mod rights;
