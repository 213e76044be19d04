package example;

import dev.openfeature.sdk.ErrorCode;
import dev.openfeature.sdk.EvaluationContext;
import dev.openfeature.sdk.FeatureProvider;
import dev.openfeature.sdk.ImmutableContext;
import dev.openfeature.sdk.ImmutableMetadata;
import dev.openfeature.sdk.Metadata;
import dev.openfeature.sdk.ProviderEvaluation;
import dev.openfeature.sdk.Reason;
import dev.openfeature.sdk.Value;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.greenbytes.http.sfv.ParseException;
import org.greenbytes.http.sfv.Parser;
import org.greenbytes.http.sfv.StringItem;
import org.greenbytes.http.sfv.TokenItem;

/**
 * Reads the decisions of divvy from the assignment header of a request. The name of a rollout is the flag,
 * its version the value. Has no state: each evaluation reads the header in its context.
 */
public final class DivvyProvider implements FeatureProvider {
    /** The attribute of the evaluation context with the value of the header. */
    public static final String HEADER_KEY = "divvyAssignment";

    /** The reasons of OpenFeature for those of divvy. All others are DEFAULT: stable serves. */
    private static final Map<String, Reason> REASONS = Map.of(
            "split", Reason.SPLIT, "sticky", Reason.SPLIT,
            "rule", Reason.TARGETING_MATCH, "override", Reason.TARGETING_MATCH,
            "active", Reason.STATIC, "follow", Reason.STATIC,
            "disabled", Reason.DISABLED);

    /** The evaluation context of a request: its lines of x-divvy-assignment. */
    public static EvaluationContext contextOf(List<String> lines) {
        return new ImmutableContext(Map.of(HEADER_KEY, new Value(String.join(", ", lines))));
    }

    @Override
    public Metadata getMetadata() {
        return () -> "divvy";
    }

    /** The name of the version. */
    @Override
    public ProviderEvaluation<String> getStringEvaluation(String flag, String fallback, EvaluationContext context) {
        var given = context.getValue(HEADER_KEY);
        var header = given == null || !given.isString() ? "" : given.asString();
        Object member;
        try {
            member = Parser.parseDictionary(header).get().get(flag);
        } catch (ParseException error) {
            return failed(fallback, ErrorCode.PARSE_ERROR, "the assignment is not a dictionary");
        }
        if (member == null) {
            return failed(fallback, ErrorCode.FLAG_NOT_FOUND, "no decision of this rollout");
        }
        var version = textOf(member);
        if (version == null) {
            return failed(fallback, ErrorCode.TYPE_MISMATCH, "the value is not the name of a version");
        }
        var parameters = member instanceof TokenItem token ? token.getParams() : ((StringItem) member).getParams();
        var metadata = ImmutableMetadata.builder();
        var decided = "";
        // The second one is what the first proxy decided.
        for (var key : List.of("reason", "upstream")) {
            var text = textOf(parameters.get(key));
            if (text != null) {
                metadata.addString(key, text);
                decided = text;
            }
        }
        // Only these were drawn: log them as exposures, and leave the others out.
        metadata.addBoolean("exposure", Set.of("split", "sticky").contains(decided));
        return ProviderEvaluation.<String>builder()
                .value(version).variant(version)
                .reason(REASONS.getOrDefault(decided, Reason.DEFAULT).name())
                .flagMetadata(metadata.build())
                .build();
    }

    /** For rollouts whose versions are named on and off. */
    @Override
    public ProviderEvaluation<Boolean> getBooleanEvaluation(String flag, Boolean fallback, EvaluationContext context) {
        var found = getStringEvaluation(flag, "", context);
        if (found.getErrorCode() != null) {
            return failed(fallback, found.getErrorCode(), found.getErrorMessage());
        }
        if (!Set.of("on", "off").contains(found.getValue())) {
            return mismatch(fallback);
        }
        return ProviderEvaluation.<Boolean>builder()
                .value(found.getValue().equals("on")).variant(found.getVariant())
                .reason(found.getReason()).flagMetadata(found.getFlagMetadata())
                .build();
    }

    /** Fails: a version is a name. */
    @Override
    public ProviderEvaluation<Integer> getIntegerEvaluation(String flag, Integer fallback, EvaluationContext context) {
        return mismatch(fallback);
    }

    /** Fails: a version is a name. */
    @Override
    public ProviderEvaluation<Double> getDoubleEvaluation(String flag, Double fallback, EvaluationContext context) {
        return mismatch(fallback);
    }

    /** Fails: a version is a name. */
    @Override
    public ProviderEvaluation<Value> getObjectEvaluation(String flag, Value fallback, EvaluationContext context) {
        return mismatch(fallback);
    }

    private static String textOf(Object item) {
        return item instanceof TokenItem token ? token.get() : item instanceof StringItem text ? text.get() : null;
    }

    private static <T> ProviderEvaluation<T> mismatch(T fallback) {
        return failed(fallback, ErrorCode.TYPE_MISMATCH, "a version is a name");
    }

    private static <T> ProviderEvaluation<T> failed(T fallback, ErrorCode code, String message) {
        return ProviderEvaluation.<T>builder()
                .value(fallback).reason(Reason.ERROR.name()).errorCode(code).errorMessage(message)
                .build();
    }
}
