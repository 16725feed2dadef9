//! How BMCs of different makers differ, as data with evidence: vendor, model and firmware range → habits. Nothing in the client asks for a
//! vendor by name; it asks for a habit.

mod habits;

pub use habits::Habits;
