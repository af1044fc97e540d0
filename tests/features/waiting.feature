Feature: Waiting in a fair line
  Who does not fit waits for the limit that stops it, and is let in when that can pay for it.

  Background:
    Given a concurrency limit "slots" of 2 with a timeout of 300 seconds

  Scenario: A completion lets the next one in
    Given "first" has reserved 2 of "slots"
    When "second" waits up to 10 seconds for 1 of "slots"
    Then "second" is waiting
    When "first" completes
    Then "second" is granted

  Scenario: The 61st call in a minute waits for the first to leave the window
    Given a rolling limit "rpm" of 60 per 60 seconds
    And "batch" has reserved 60 of "rpm"
    When 20 seconds pass
    And "late" waits up to 50 seconds for 1 of "rpm"
    And 39 seconds pass
    Then "late" is waiting
    When 1 second passes
    Then "late" is granted

  Scenario: Small calls do not overtake a large one
    Given "first" has reserved 1 of "slots"
    When "large" waits up to 10 seconds for 2 of "slots"
    And "small" reserves 1 of "slots"
    Then "small" is denied by "slots"
    When "first" completes
    Then "large" is granted

  Scenario: Urgent calls go first
    Given "first" has reserved 2 of "slots"
    When "ordinary" waits up to 10 seconds for 2 of "slots"
    And "urgent" waits up to 10 seconds for 2 of "slots" with high priority
    And "first" completes
    Then "urgent" is granted
    And "ordinary" is waiting

  Scenario: Tenants take turns
    Given "first" has reserved 2 of "slots"
    When tenant "greedy" queues 3 calls for 2 of "slots"
    And tenant "modest" queues 1 call for 2 of "slots"
    And everybody is served in turn
    Then the order of tenants was "greedy, modest, greedy, greedy"

  Scenario: A wait that is known to be too long is refused at once
    Given a token bucket "bucket" of 10 that refills 1 every 10 seconds
    And "first" has used 10 of "bucket"
    When "second" waits up to 5 seconds for 1 of "bucket"
    Then "second" is denied for 10000 ms by "bucket"

  Scenario: Who leaves the line leaves nothing behind
    Given "first" has reserved 2 of "slots"
    When "second" waits up to 10 seconds for 1 of "slots"
    And "second" leaves
    Then nobody waits for "slots"
    When "first" completes
    Then 2 of "slots" are available
