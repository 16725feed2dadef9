//! What a client must do differently for one BMC. The default is what the specification says.

/// Habits of one BMC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Habits {
    /// Close the connection after every exchange (RC-05).
    pub close_connections: bool,
}

impl Default for Habits {
    fn default() -> Self {
        Self { close_connections: false }
    }
}
