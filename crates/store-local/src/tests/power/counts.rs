use std::fmt;

/// What happened, over all lives.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub(super) cuts: u64,
    pub(super) cuts_in_recovery: u64,
    pub(super) kills: u64,
    pub(super) failed_syncs: u64,
    pub(super) clean_stops: u64,
    pub(super) full_disks: u64,
    pub(super) acknowledged: u64,
    pub(super) archived: u64,
    pub(super) saved: u64,
    pub(super) retired: u64,
    pub(super) revived: u64,
    pub(super) purged: u64,
    pub(super) reused: u64,
    pub(super) backups: u64,
    pub(super) backups_cut: u64,
}

impl Counts {
    fn fields(&self) -> [(&'static str, u64); 15] {
        [
            ("power cuts", self.cuts),
            ("of them while recovering", self.cuts_in_recovery),
            ("kills", self.kills),
            ("failed syncs", self.failed_syncs),
            ("clean stops", self.clean_stops),
            ("full disks", self.full_disks),
            ("acknowledged", self.acknowledged),
            ("archived", self.archived),
            ("saved", self.saved),
            ("segments retired", self.retired),
            ("revived", self.revived),
            ("purged", self.purged),
            ("gids used again", self.reused),
            ("backups", self.backups),
            ("backups cut off", self.backups_cut),
        ]
    }

    pub(super) fn add(&mut self, other: &Self) {
        let Self {
            cuts,
            cuts_in_recovery,
            kills,
            failed_syncs,
            clean_stops,
            full_disks,
            acknowledged,
            archived,
            saved,
            retired,
            revived,
            purged,
            reused,
            backups,
            backups_cut,
        } = other;
        self.cuts += cuts;
        self.cuts_in_recovery += cuts_in_recovery;
        self.kills += kills;
        self.failed_syncs += failed_syncs;
        self.clean_stops += clean_stops;
        self.full_disks += full_disks;
        self.acknowledged += acknowledged;
        self.archived += archived;
        self.saved += saved;
        self.retired += retired;
        self.revived += revived;
        self.purged += purged;
        self.reused += reused;
        self.backups += backups;
        self.backups_cut += backups_cut;
    }

    pub(super) fn assert_everything_happened(&self) {
        for (what, count) in self.fields() {
            assert!(count >= 20, "only {count} {what}: {self}");
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = self.fields().map(|(what, count)| format!("{count} {what}"));
        f.write_str(&fields.join(", "))
    }
}
