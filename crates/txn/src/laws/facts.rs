/// What really happened, in all lives of the coordinator together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Facts {
    pub(super) called_forward: Steps,
    pub(super) called_backward: Steps,
    pub(super) done_forward: Steps,
    pub(super) done_backward: Steps,
    /// Unknown answers of actions, counted up to one more than the retry limit.
    pub(super) unknown_actions: u32,
}

impl Facts {
    /// What happened to one step; what became of its action only if that still counts.
    pub(super) fn of(&self, index: usize, action_over: bool) -> [bool; 4] {
        [
            self.called_forward.has(index),
            self.called_backward.has(index),
            self.done_forward.has(index) && !action_over,
            self.done_backward.has(index),
        ]
    }
}

/// A set of steps; the samples have at most 16.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Steps(u16);

impl Steps {
    pub(super) fn add(&mut self, index: usize) {
        self.0 |= 1 << index;
    }

    pub(super) fn has(self, index: usize) -> bool {
        self.0 & (1 << index) != 0
    }

    pub(super) fn all(count: usize) -> Self {
        Self(((1_u32 << count) - 1) as u16)
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}
