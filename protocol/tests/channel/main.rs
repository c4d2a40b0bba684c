//! The channel, story by story: what it hears, what it does, where it goes.
//!
//! The stories are told with [`Story`](story::Story), which plays the shell: it feeds `Next` as soon as
//! a state waits for nothing, and checks the whole way and every action.
#![allow(clippy::unwrap_used)]

mod before_established;
mod goodbye;
mod leaving_established;
mod operator;
mod resume;
mod session;
mod set_up;
mod story;
