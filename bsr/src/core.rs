//! What a node does.

pub mod api;
