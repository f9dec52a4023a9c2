//! Deficit round robin: who is next when clients compete for something that is short. Pure.
//!
//! Each client that waits has a lane of its own. The lanes take turns; a lane whose turn comes gets a
//! quantum added to what it may take, and keeps its turn while that suffices for what waits first in
//! it. So a client gets as much as any other, in units of cost, however many requests it makes and
//! however large they are (M. Shreedhar and G. Varghese, "Efficient fair queueing using deficit round
//! robin").
//!
//! Guarantees, as the property tests state them:
//! - what waits first in a lane is served after every other lane took at most a quantum, and what one
//!   item of it costs, for each turn that it needs itself;
//! - a lane is served in order;
//! - if anything waits and there is room for it, something is served;
//! - who is next stays next until there is room for it: small ones never pass a large one for ever.
//!
//! Full-case: none of its own; a caller has one item waiting for each of its bounded tasks.

use std::collections::{HashMap, VecDeque};

/// Names an item that waits.
pub(super) type Ticket = u64;

/// Items that wait, by client.
#[derive(Debug)]
pub(super) struct RoundRobin<T> {
    quantum: u64,
    lanes: HashMap<u64, Lane<T>>,
    /// Whose turn it is, then who follows.
    turns: VecDeque<u64>,
    next_ticket: Ticket,
}

#[derive(Debug)]
struct Lane<T> {
    items: VecDeque<(Ticket, u64, T)>,
    /// What it may take in this turn.
    deficit: u64,
    /// Whether this turn's quantum was given.
    has_turn: bool,
}

impl<T> RoundRobin<T> {
    /// With this quantum, more than 0: a turn's worth of cost.
    pub fn new(quantum: u64) -> RoundRobin<T> {
        RoundRobin {
            quantum: quantum.max(1),
            lanes: HashMap::new(),
            turns: VecDeque::new(),
            next_ticket: 0,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// Whether anything of this client waits.
    pub fn has(&self, client: u64) -> bool {
        self.lanes.contains_key(&client)
    }

    /// An item of this client waits from now on.
    pub fn push(&mut self, client: u64, cost: u64, item: T) -> Ticket {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let lane = self.lanes.entry(client).or_insert_with(|| {
            self.turns.push_back(client);
            Lane { items: VecDeque::new(), deficit: 0, has_turn: false }
        });
        lane.items.push_back((ticket, cost, item));
        ticket
    }

    /// Serves who is next, if it costs no more than `room`.
    pub fn next(&mut self, room: u64) -> Option<(u64, T)> {
        let client = self.turn()?;
        let lane = self.lanes.get_mut(&client)?;
        let cost = lane.items.front().map(|&(_, cost, _)| cost)?;
        if cost > room {
            return None;
        }
        let (_, _, item) = lane.items.pop_front()?;
        lane.deficit -= cost;
        if lane.items.is_empty() {
            // Who comes back begins anew: nobody saves up turns.
            self.lanes.remove(&client);
            self.turns.pop_front();
        }
        Some((cost, item))
    }

    /// An item does not wait any more.
    pub fn remove(&mut self, client: u64, ticket: Ticket) -> Option<T> {
        let lane = self.lanes.get_mut(&client)?;
        let index = lane.items.iter().position(|&(waits, _, _)| waits == ticket)?;
        let item = lane.items.remove(index).map(|(_, _, item)| item);
        if lane.items.is_empty() {
            self.lanes.remove(&client);
            self.turns.retain(|&waits| waits != client);
        }
        item
    }

    /// Passes the turn on to the first lane that may take what waits first in it.
    fn turn(&mut self) -> Option<u64> {
        // Once around gives each its quantum; when that is not enough for any, turns are skipped in
        // which nobody would be served. The second time around somebody is.
        for _ in 0..2 {
            for _ in 0..self.turns.len() {
                let client = *self.turns.front()?;
                let lane = self.lanes.get_mut(&client)?;
                if !std::mem::replace(&mut lane.has_turn, true) {
                    lane.deficit += self.quantum;
                }
                if lane.missing() == 0 {
                    return Some(client);
                }
                lane.has_turn = false;
                self.turns.rotate_left(1);
            }
            let turns = self.lanes.values().map(|lane| lane.missing().div_ceil(self.quantum)).min();
            let idle = turns?.saturating_sub(1);
            self.lanes.values_mut().for_each(|lane| lane.deficit += idle * self.quantum);
        }
        None
    }
}

impl<T> Lane<T> {
    /// What it lacks for what waits first.
    fn missing(&self) -> u64 {
        self.items.front().map_or(0, |&(_, cost, _)| cost.saturating_sub(self.deficit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const QUANTUM: u64 = 100;
    const COST_MAX: u64 = 450;

    #[derive(Debug, Clone)]
    enum Action {
        Push { client: u64, cost: u64 },
        Serve { room: u64 },
        Remove { nth: usize },
    }

    fn action() -> impl Strategy<Value = Action> {
        prop_oneof![
            4 => (0u64..5, 1..=COST_MAX).prop_map(|(client, cost)| Action::Push { client, cost }),
            3 => (0..=COST_MAX * 2).prop_map(|room| Action::Serve { room }),
            1 => (0usize..50).prop_map(|nth| Action::Remove { nth }),
        ]
    }

    proptest! {
        /// Whatever comes and goes: in order within a client, nothing lost or made up, and never idle
        /// with room for anything.
        #[test]
        fn it_serves_what_waits_and_nothing_else(actions in prop::collection::vec(action(), 1..200)) {
            let mut queue = RoundRobin::new(QUANTUM);
            let mut model: BTreeMap<u64, VecDeque<(Ticket, u64)>> = BTreeMap::new();
            for action in actions {
                match action {
                    Action::Push { client, cost } => {
                        let item = (client, queue.next_ticket);
                        let ticket = queue.push(client, cost, item);
                        prop_assert_eq!(ticket, item.1);
                        model.entry(client).or_default().push_back((ticket, cost));
                    }
                    Action::Serve { room } => match queue.next(room) {
                        Some((cost, (client, ticket))) => {
                            prop_assert!(cost <= room);
                            prop_assert_eq!(model.get_mut(&client).unwrap().pop_front(), Some((ticket, cost)));
                        }
                        None => {
                            let all_fit = |lane: &VecDeque<(Ticket, u64)>| lane.front().is_none_or(|it| it.1 <= room);
                            let idle = model.values().all(VecDeque::is_empty);
                            prop_assert!(idle || !model.values().all(all_fit), "idle with room");
                        }
                    },
                    Action::Remove { nth } => {
                        let all: Vec<_> = model.iter().flat_map(|(&client, lane)| lane.iter().map(move |it| (client, it.0))).collect();
                        let Some(&(client, ticket)) = all.get(nth) else { continue };
                        prop_assert_eq!(queue.remove(client, ticket), Some((client, ticket)));
                        model.get_mut(&client).unwrap().retain(|it| it.0 != ticket);
                    }
                }
                prop_assert_eq!(queue.is_empty(), model.values().all(VecDeque::is_empty));
                for (&client, lane) in &model {
                    prop_assert_eq!(queue.has(client), !lane.is_empty());
                }
                prop_assert_eq!(queue.turns.len(), queue.lanes.len());
            }
        }

        /// Others may be as many and as greedy as they like.
        #[test]
        fn who_waits_is_served_after_a_quantum_of_every_other_for_each_of_its_turns(
            floods in prop::collection::vec(prop::collection::vec(1..=COST_MAX, 1..60), 1..6),
            served_before in 0usize..40,
            ahead in prop::collection::vec(1..=COST_MAX, 0..4),
            cost in 1..=COST_MAX,
        ) {
            let mut queue = RoundRobin::new(QUANTUM);
            for (client, flood) in (1..).zip(&floods) {
                flood.iter().for_each(|&cost| { queue.push(client, cost, client); });
            }
            (0..served_before).for_each(|_| { queue.next(u64::MAX); });
            ahead.iter().for_each(|&cost| { queue.push(0, cost, 0); });
            let last = queue.push(0, cost, 0);
            let mut taken: BTreeMap<u64, u64> = BTreeMap::new();
            while queue.lanes.get(&0).is_some_and(|lane| lane.items.iter().any(|it| it.0 == last)) {
                let (cost, client) = queue.next(u64::MAX).unwrap();
                *taken.entry(client).or_default() += cost;
            }
            let turns = (ahead.iter().sum::<u64>() + cost).div_ceil(QUANTUM);
            for (client, taken) in taken.into_iter().filter(|&(client, _)| client != 0) {
                prop_assert!(taken <= turns * QUANTUM + COST_MAX, "{client} took {taken} in {turns} turns");
            }
        }
    }

    #[test]
    fn small_ones_never_pass_a_large_one_for_ever() {
        let mut queue = RoundRobin::new(QUANTUM);
        queue.push(1, 400, "large");
        assert_eq!(queue.next(399), None);
        queue.push(2, 1, "small");
        assert_eq!(queue.next(399), None, "it is the large one's turn, and room is kept for it");
        assert_eq!(queue.next(400), Some((400, "large")));
        assert_eq!(queue.next(1), Some((1, "small")));
        assert!(queue.is_empty());
    }
}
