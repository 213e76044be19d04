"""Answers of the real SDKs, each with a local flag: writes sdk.json, which the tests compare with divvy.

Run it with Python 3.12 after `pip install -r sdk-requirements.txt`. No service is contacted. For each system it has the
fields of the rollout, the answers to the users user-0 to user-999 (one letter each, `-` for none), and the murmur3 hash
(x64, 128 bits) of the answers to 100,000 users.
"""

import json
import logging
import pathlib
import tempfile

import mmh3

USERS = [f"user-{user}" for user in range(100_000)]
SHOWN = 1_000
KEY = "checkout"
logging.disable(logging.CRITICAL)


def growthbook(version):
    from growthbook import Experiment, GrowthBook

    experiment = Experiment(
        key=KEY, seed=KEY, variations=["a", "b", "c"], weights=[0.5, 0.3, 0.2], coverage=0.55, hashVersion=version
    )

    def answer(user):
        result = GrowthBook(attributes={"id": user}).run(experiment)
        return result.value if result.inExperiment else None

    return {"seed": KEY, "hashVersion": version, "coverage": 0.55}, [50, 30, 20], answer


def posthog():
    from posthog.feature_flags import match_feature_flag_properties

    variants = [{"key": key, "rollout_percentage": share} for key, share in (("a", 34), ("b", 33), ("c", 33))]
    groups = [{"properties": [], "rollout_percentage": 57}]
    flag = {"key": KEY, "active": True, "filters": {"groups": groups, "multivariate": {"variants": variants}}}

    def answer(user):
        return match_feature_flag_properties(flag, user, {}) or None

    return {"key": KEY, "rollout": 57}, [34, 33, 33], answer


def launch_darkly():
    import ldclient
    from ldclient.integrations import Files

    weights, salt = [29_261, 50_739, 20_000], "90c192cfd3ac94af0f21ddb66cad4a26"
    arms = [{"variation": number, "weight": weight} for number, weight in enumerate(weights)]
    flag = {"key": KEY, "version": 1, "on": True, "salt": salt, "variations": ["a", "b", "c"], "targets": [], "rules": []}
    flag |= {"prerequisites": [], "fallthrough": {"rollout": {"variations": arms}}, "offVariation": 0}
    path = pathlib.Path(tempfile.mkdtemp(), "flags.json")
    path.write_text(json.dumps({"flags": {KEY: flag}}))
    source = Files.new_data_source(paths=[str(path)])
    client = ldclient.LDClient(ldclient.Config("local", update_processor_class=source, send_events=False))

    def answer(user):
        return client.variation(KEY, ldclient.Context.create(user), None)

    return {"flag": KEY, "salt": salt}, weights, answer


def unleash():
    from yggdrasil_engine.engine import UnleashEngine

    variants = [
        {"name": name, "weight": weight, "stickiness": "userId", "payload": {"type": "string", "value": name}}
        for name, weight in (("a", 246), ("b", 580), ("c", 174))
    ]
    parameters = {"groupId": KEY, "rollout": "57", "stickiness": "userId"}
    strategy = {"name": "flexibleRollout", "parameters": parameters, "constraints": [], "variants": variants}
    feature = {"name": KEY, "type": "release", "enabled": True, "strategies": [strategy], "variants": []}
    engine = UnleashEngine()
    engine.take_state(json.dumps({"version": 2, "features": [feature]}))

    def answer(user):
        variant = engine.get_variant(KEY, {"userId": user, "properties": {}}).variant
        return variant.name if variant.enabled else None

    return {"groupId": KEY, "rollout": 57}, [246, 580, 174], answer


def split():
    from splitio.engine.splitters import Splitter
    from splitio.models.grammar.partitions import Partition
    from splitio.models.splits import HashAlgorithm

    weights = [29, 50, 21]
    partitions = [Partition(name, weight) for name, weight in zip("abc", weights)]

    def answer(user):
        return Splitter().get_treatment(user, -219_755_462, partitions, HashAlgorithm.MURMUR)

    return {"seed": -219_755_462}, weights, answer


def optimizely():
    from optimizely.optimizely import Optimizely

    variations = [{"id": str(number), "key": key, "variables": []} for number, key in enumerate("abc", 1)]
    ends = [{"entityId": str(number), "endOfRange": end} for number, end in enumerate((2_491, 5_703, 8_110), 1)]
    experiment = {"id": "8809768138", "key": KEY, "status": "Running", "layerId": "1", "audienceIds": []}
    experiment |= {"variations": variations, "trafficAllocation": ends, "forcedVariations": {}}
    empty = ["groups", "audiences", "attributes", "featureFlags", "rollouts", "events", "typedAudiences"]
    file = {"version": "4", "projectId": "1", "accountId": "1", "revision": "1", "anonymizeIP": True}
    file |= {"experiments": [experiment]} | {name: [] for name in empty}
    client = Optimizely(json.dumps(file))

    def answer(user):
        return client.get_variation(KEY, user)

    return {"experiment": "8809768138"}, [2_491, 3_212, 2_407], answer


def flagd():
    from openfeature.contrib.tools.flagd.core.targeting.custom_ops import fractional

    arms = [["a", 24], ["b", 48], ["c", 28]]

    def answer(user):
        return fractional({"targetingKey": user, "$flagd": {"flagKey": KEY}}, *arms)

    return {"flag": KEY}, [24, 48, 28], answer


def row(system, made):
    hash, weights, answer = made
    letters = "".join(answer(user) or "-" for user in USERS)
    assert set(letters) <= set("abc-"), set(letters)
    digest = f"{mmh3.hash128(letters.encode(), x64arch=True):032x}"
    return {"hash": {system: hash}, "weights": weights, "first": letters[:SHOWN], "digest": digest}


def main():
    made = [
        ("unleash", unleash()),
        ("growthbook", growthbook(1)),
        ("growthbook", growthbook(2)),
        ("posthog", posthog()),
        ("launchDarkly", launch_darkly()),
        ("split", split()),
        ("optimizely", optimizely()),
        ("flagd", flagd()),
    ]
    rows = [row(*one) for one in made]
    text = ",\n".join(json.dumps(one) for one in rows)
    pathlib.Path(__file__).with_name("sdk.json").write_text(f"[\n{text}\n]\n")


if __name__ == "__main__":
    main()
