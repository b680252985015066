//! Every noun made, read and listed, in the spelling of each surface.

mod customers;
mod organizations;
mod pages;
