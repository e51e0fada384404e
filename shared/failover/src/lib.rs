//! Pure health and choice rules, used by node and controller.
