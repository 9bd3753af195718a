//! Months of virtual time, and every way in which an answer may come.
mod http;
mod talk;
