"""A repeated ClientToken gets the first answer: again at once, after a restart, and at the other site."""

import pytest

from offsite import ApiError, until


def create(site, north, south, token, **parameters):
    return site.call("CreateDiskReplicaGroup", RegionId=north.region, SourceZoneId=north.zone, DestinationRegionId=south.region,
                     DestinationZoneId=south.zone, ClientToken=token, **parameters)["ReplicaGroupId"]


def test_the_first_answer_is_given_again_everywhere(two_sites):
    north, south = two_sites
    first = create(north, north, south, "token-1", GroupName="once")
    assert create(north, north, south, "token-1", GroupName="once") == first
    with pytest.raises(ApiError) as refused:
        create(north, north, south, "token-1", GroupName="twice")
    assert (refused.value.status, refused.value.code) == (400, "IdempotentParameterMismatch")
    assert create(south, north, south, "token-1", GroupName="once") == first
    north.kill()
    until("the link is seen to be down", lambda: not south.linked())
    assert create(south, north, south, "token-1", GroupName="once") == first  # answered without the site that made it
    north.start()
    assert create(north, north, south, "token-1", GroupName="once") == first
    assert len(north.groups()) == 1


def test_tokens_answered_while_the_link_was_down_are_told_later(two_sites):
    north, south = two_sites
    south.kill()
    until("the link is seen to be down", lambda: not north.linked())
    first = create(north, north, south, "token-2")
    south.start()
    south.wait_log("control.tokens told=1")
    north.kill()
    until("the link is seen to be down", lambda: not south.linked())
    assert create(south, north, south, "token-2") == first
