//! An application on a volume, and what it knows of it.
//!
//! ```text
//! content   what is in a sector: which write, which sector
//! model     what may be read: what was acknowledged, or came after it
//! load      bursts of requests without end
//! ```

pub mod content;
mod load;
mod model;

pub use content::SECTOR;
pub use load::{End, Load};
pub use model::{Model, Moment};
