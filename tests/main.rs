//! The one test binary; each module tests one room or one promise.
