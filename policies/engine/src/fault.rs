//! Faults: the ways in which a policy fails to answer.

/// Why a policy gave no verdict. A faulty policy grants nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum Fault {
    /// It ran into a trap: a panic, a division by zero, an access outside its memory.
    #[error("the policy trapped")]
    Trapped,
    /// It did more work than an evaluation may.
    #[error("the policy used up its fuel")]
    OutOfFuel,
    /// It took longer than an evaluation may.
    #[error("the policy ran past its deadline")]
    DeadlineExceeded,
    /// It asked for more memory, or a larger table, than an evaluation may have.
    #[error("the policy asked for more memory than it may have")]
    MemoryExceeded,
    /// It nested calls too deeply.
    #[error("the policy used up its stack")]
    StackExhausted,
    /// Its answer cannot be read, or is longer than an answer may be.
    #[error("the policy's answer cannot be read")]
    AnswerInvalid,
    /// All places for instances were taken.
    #[error("no place for an instance of the policy was free")]
    NoSlot,
    /// No instance could be made for another reason.
    #[error("no instance of the policy could be made")]
    NotInstantiated,
    /// It asks for an input that the question does not hold.
    #[error("the policy asks for an input that it was not given")]
    InputNotGiven,
    /// The role has no policy.
    #[error("the role has no policy")]
    NoPolicy,
    /// It failed many times in a row, and is not asked for a while.
    #[error("the policy kept failing and is put aside")]
    PutAside,
    /// The host's own code panicked around it.
    #[error("the host panicked while it asked the policy")]
    HostPanicked,
}

impl Fault {
    /// All faults, for metrics that count each from the start.
    pub const ALL: [Self; 12] = [
        Self::Trapped,
        Self::OutOfFuel,
        Self::DeadlineExceeded,
        Self::MemoryExceeded,
        Self::StackExhausted,
        Self::AnswerInvalid,
        Self::NoSlot,
        Self::NotInstantiated,
        Self::InputNotGiven,
        Self::NoPolicy,
        Self::PutAside,
        Self::HostPanicked,
    ];

    /// Returns the fault's stable name, for logs and metric labels.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trapped => "trapped",
            Self::OutOfFuel => "out-of-fuel",
            Self::DeadlineExceeded => "deadline-exceeded",
            Self::MemoryExceeded => "memory-exceeded",
            Self::StackExhausted => "stack-exhausted",
            Self::AnswerInvalid => "answer-invalid",
            Self::NoSlot => "no-slot",
            Self::NotInstantiated => "not-instantiated",
            Self::InputNotGiven => "input-not-given",
            Self::NoPolicy => "no-policy",
            Self::PutAside => "put-aside",
            Self::HostPanicked => "host-panicked",
        }
    }

    /// Returns the fault with this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.name() == name)
    }

    /// Returns whether the same component ends so whenever it is asked the same, wherever it runs.
    pub(crate) fn is_repeatable(self) -> bool {
        match self {
            Self::Trapped
            | Self::OutOfFuel
            | Self::MemoryExceeded
            | Self::StackExhausted
            | Self::AnswerInvalid
            | Self::InputNotGiven => true,
            Self::DeadlineExceeded
            | Self::NoSlot
            | Self::NotInstantiated
            | Self::NoPolicy
            | Self::PutAside
            | Self::HostPanicked => false,
        }
    }

    /// Returns whether the policy brought it about, so that another question may well end the same way.
    pub(crate) fn is_the_policys_own(self) -> bool {
        match self {
            Self::Trapped
            | Self::OutOfFuel
            | Self::DeadlineExceeded
            | Self::MemoryExceeded
            | Self::StackExhausted
            | Self::AnswerInvalid
            | Self::NotInstantiated
            | Self::HostPanicked => true,
            Self::NoSlot | Self::InputNotGiven | Self::NoPolicy | Self::PutAside => false,
        }
    }
}
