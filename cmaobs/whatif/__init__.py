# SPDX-License-Identifier: GPL-2.0
"""What a recorded load would have met under other rules. Pure but for reading a user's class.

    demand     what was asked of an area, and when: the types
    gather     demand from the steps of a recording
    rules      who chooses: policies by name, and a user's class
    choosing   asks the rules, and holds a user's class to what it returns
    replay     the demand through the model
    fast       the same in the compiled lane
    quick      as gather, in the compiled lane
    told       what readings tell besides states
    result     what a replay comes to
    varied     the demand as it might have been at another time
    shrink     how reclaim calls an area's shrinker
    withheld   pages on the list, and fragmentation, over time
    figures    measured durations, by path and size
    latency    the distribution of cma_alloc's latency, and how far off it may be
    outcome    what all that comes to, for one policy
    search     many policies on all processors
"""
