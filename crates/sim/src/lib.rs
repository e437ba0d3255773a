//! The weather: the whole engine under lost requests, lost replies and crashes, from one seed.
