//! The boot server against curl, a client that others wrote, and against peers that mean harm.

mod claims;
mod grants;
mod hostile;
mod files;
mod site;
