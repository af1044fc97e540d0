//! Whose turn it is, over time.

use super::*;
use proptest::prelude::*;

fn candidate(ticket: u64, tenant: &str, priority: Priority, joined_at_seconds: u64) -> Candidate {
    let tenant = if tenant.is_empty() { None } else { Some(Label::parse(tenant).expect("a label")) };
    let joined_at = Moment::from_nanos(joined_at_seconds * 1_000_000_000);
    Candidate { ticket: Ticket(ticket), joined_at, priority, tenant }
}

fn line_of(candidates: &[Candidate], turns: &Turns) -> Line<()> {
    let mut line = Line::default();
    candidates.iter().for_each(|candidate| line.join(candidate.clone(), (), turns));
    line
}

fn served(mut line: Line<()>, turns: &Turns) -> Vec<u64> {
    let mut order = Vec::new();
    while let Some(head) = line.head(turns).map(|(candidate, ())| candidate.clone()) {
        line.serve(&head, turns).expect("the head is in the line");
        order.push(head.ticket.0);
    }
    assert!(line.is_empty());
    order
}

#[test]
fn first_come_first_served_also_for_one_that_moved_here() {
    let turns = Turns::default();
    let line = line_of(&[3, 1, 2].map(|ticket| candidate(ticket, "", Priority::Normal, 0)), &turns);
    assert_eq!(served(line, &turns), [1, 2, 3]);
}

#[test]
fn tenants_take_turns_however_many_calls_one_of_them_queues() {
    let turns = Turns::default();
    let mut candidates: Vec<_> = (1..=4).map(|ticket| candidate(ticket, "greedy", Priority::Normal, 0)).collect();
    candidates.extend([candidate(5, "modest", Priority::Normal, 9), candidate(6, "third", Priority::Normal, 9)]);
    assert_eq!(served(line_of(&candidates, &turns), &turns), [1, 5, 6, 2, 3, 4]);
}

#[test]
fn a_weight_is_the_number_of_turns_in_a_round() {
    let weights = HashMap::from([(Label::parse("heavy").expect("a label"), 2)]);
    let turns = Turns { tenant_weights: weights, ..Turns::default() };
    let mut candidates: Vec<_> = (1..=4).map(|ticket| candidate(ticket, "heavy", Priority::Normal, 0)).collect();
    candidates.extend((5..=6).map(|ticket| candidate(ticket, "light", Priority::Normal, 0)));
    assert_eq!(served(line_of(&candidates, &turns), &turns), [1, 2, 5, 3, 4, 6]);
}

#[test]
fn a_lower_priority_that_has_aged_goes_before_fresh_calls_of_a_higher_one() {
    let turns = Turns { aging: Duration::from_secs(30), ..Turns::default() };
    let candidates = [
        candidate(1, "", Priority::Low, 0),
        candidate(2, "", Priority::Normal, 1),
        candidate(3, "", Priority::High, 20),
        candidate(4, "", Priority::High, 40),
        candidate(5, "", Priority::High, 61),
    ];
    assert_eq!(served(line_of(&candidates, &turns), &turns), [3, 2, 4, 1, 5]);
}

#[test]
fn a_class_has_aged_when_its_oldest_has_also_if_it_is_anothers_turn() {
    let turns = Turns { aging: Duration::from_secs(30), ..Turns::default() };
    let impatient = |ticket, joined_at| candidate(ticket, "impatient", Priority::Normal, joined_at);
    let mut line = line_of(&[impatient(1, 0), candidate(2, "patient", Priority::Normal, 0)], &turns);
    // The tenant whose turn it is gives up again and again, and so is always fresh.
    for ticket in 3..100 {
        line.join(impatient(ticket, ticket), (), &turns);
        line.leave(
            &impatient(if ticket == 3 { 1 } else { ticket - 1 }, if ticket == 3 { 0 } else { ticket - 1 }),
            &turns,
        );
    }
    line.join(candidate(100, "", Priority::High, 99), (), &turns);
    assert_eq!(served(line, &turns), [99, 2, 100]);
}

#[test]
fn who_leaves_costs_nobody_a_turn() {
    let turns = Turns::default();
    let candidates = [
        candidate(1, "a", Priority::Normal, 0),
        candidate(2, "a", Priority::Normal, 0),
        candidate(3, "b", Priority::Normal, 0),
    ];
    let mut line = line_of(&candidates, &turns);
    assert!(line.leave(&candidates[0], &turns).is_some() && line.leave(&candidates[0], &turns).is_none());
    assert_eq!(served(line, &turns), [2, 3]);
}

#[test]
fn only_who_would_be_served_first_leads() {
    let turns = Turns::default();
    let line = line_of(&[candidate(5, "a", Priority::Normal, 10)], &turns);
    assert!(line.would_lead(&candidate(4, "a", Priority::Normal, 9), &turns));
    assert!(!line.would_lead(&candidate(6, "a", Priority::Normal, 11), &turns));
    assert!(!line.would_lead(&candidate(4, "b", Priority::Normal, 9), &turns));
    assert!(line.would_lead(&candidate(6, "b", Priority::High, 11), &turns));
    assert!(Line::<()>::default().would_lead(&candidate(6, "b", Priority::Low, 11), &turns));
}

proptest! {
    /// Between two turns of a tenant, every other tenant that still waits has had one.
    #[test]
    fn tenants_alternate(tenants in proptest::collection::vec(0_u8..5, 1..60)) {
        let turns = Turns::default();
        let candidates: Vec<_> =
            (0..).zip(&tenants).map(|(ticket, tenant)| candidate(ticket, &format!("t{tenant}"), Priority::Normal, 0)).collect();
        let order = served(line_of(&candidates, &turns), &turns);
        let order: Vec<u8> = order.iter().map(|ticket| tenants[*ticket as usize]).collect();
        prop_assert_eq!(order.len(), tenants.len());
        for (at, tenant) in order.iter().enumerate() {
            let Some(next) = order[at + 1..].iter().position(|other| other == tenant) else { continue };
            let between = &order[at + 1..at + 1 + next];
            for other in order[at + 1 + next..].iter().filter(|other| *other != tenant) {
                prop_assert!(between.contains(other), "tenant {other} waits through two turns of {tenant}: {order:?}");
            }
        }
    }

    /// Whoever joins is served or leaves, once.
    #[test]
    fn nobody_is_lost(
        steps in proptest::collection::vec((0_u8..4, 0_u8..4, any::<prop::sample::Index>()), 1..200),
    ) {
        let turns = Turns::default();
        let (mut line, mut waiting): (Line<()>, Vec<Candidate>) = (Line::default(), Vec::new());
        for (ticket, (step, tenant, pick)) in (0..).zip(steps) {
            if step < 2 {
                let priority = [Priority::High, Priority::Normal, Priority::Low][pick.index(3)];
                let joins = candidate(ticket, &format!("t{tenant}"), priority, ticket);
                line.join(joins.clone(), (), &turns);
                waiting.push(joins);
            } else if step == 2 && !waiting.is_empty() {
                prop_assert!(line.leave(&waiting.swap_remove(pick.index(waiting.len())), &turns).is_some());
            } else if let Some(head) = line.head(&turns).map(|(head, ())| head.clone()) {
                prop_assert!(line.serve(&head, &turns).is_some());
                waiting.retain(|other| other.ticket != head.ticket);
            }
            prop_assert_eq!(line.len(), waiting.len());
            prop_assert_eq!(line.head(&turns).is_none(), waiting.is_empty());
        }
    }
}
