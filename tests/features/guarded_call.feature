Feature: The guarded call
  A call that goes through Tollgate from its first wait to its last report.

  Scenario: The 61st call in a minute waits
    Given a preset of 60 calls per minute
    When 60 guarded calls are made
    And "the 61st" is made as a guarded call
    Then 60 calls have run
    And "the 61st" waits
    When 1 second passes
    Then "the 61st" has run

  Scenario: A budget of money refuses what it cannot pay
    Given a preset of "0.01" dollars per hour
    When "cheap" is made as a guarded call for up to 6000 micro-dollars
    And "dear" is made as a guarded call for up to 6000 micro-dollars
    Then "cheap" has run
    And "dear" is refused by "rate_limit:cost_per_hour"

  Scenario: What a call did not spend is there for the next
    Given a preset of "0.01" dollars per hour
    When a guarded call for up to 6000 micro-dollars spends 1000
    And "next" is made as a guarded call for up to 9000 micro-dollars
    Then "next" has run

  Scenario: A call that is dropped while it waits leaves nothing behind
    Given a preset of 60 calls per minute
    And 60 guarded calls are made
    When "impatient" is made as a guarded call
    Then "impatient" waits
    When "impatient" is dropped by its caller
    Then nobody waits for "rate_limit:queries_per_minute"
    And 60 calls have run
