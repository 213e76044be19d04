package example;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import dev.openfeature.sdk.Client;
import dev.openfeature.sdk.ErrorCode;
import dev.openfeature.sdk.EvaluationContext;
import dev.openfeature.sdk.OpenFeatureAPI;
import java.io.File;
import java.util.List;
import java.util.TreeSet;
import java.util.regex.Pattern;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class DivvyProviderTest {
    private static Client client;

    @BeforeAll
    static void start() {
        OpenFeatureAPI.getInstance().setProviderAndWait(new DivvyProvider());
        client = OpenFeatureAPI.getInstance().getClient();
    }

    private static EvaluationContext given(String header) {
        return DivvyProvider.contextOf(List.of(header));
    }

    @Test
    void everyAssignmentThatTheFilterWritesInItsOwnTestsIsRead() throws Exception {
        var assignments = new TreeSet<String>();
        for (var group : new ObjectMapper().readTree(new File("../../../../tests/cases/decisions.json"))) {
            for (var one : group.get("cases")) {
                if (one.hasNonNull("assignment")) {
                    assignments.add(one.get("assignment").asText());
                }
            }
        }
        assertTrue(assignments.size() > 30, assignments.size() + " assignments");
        var form = Pattern.compile("([^=]+)=\"?([^\";]+)\"?;reason=([a-z_]+).*");
        for (var header : assignments) {
            for (var member : header.split(", ")) {
                var parts = form.matcher(member);
                assertTrue(parts.matches(), member);
                var details = client.getStringDetails(parts.group(1), "fallback", given(header));
                assertEquals(parts.group(2), details.getValue(), member);
                assertEquals(parts.group(2), details.getVariant(), member);
                assertEquals(parts.group(3), details.getFlagMetadata().getString("reason"), member);
            }
        }
    }

    @ParameterizedTest
    @CsvSource({
        "reason=split, true, SPLIT", "reason=sticky, true, SPLIT",
        "reason=inherited;upstream=split, true, SPLIT", "reason=inherited;upstream=rule, false, TARGETING_MATCH",
        "reason=rule, false, TARGETING_MATCH", "reason=not_enrolled, false, DEFAULT",
        "reason=active, false, STATIC", "reason=disabled, false, DISABLED"
    })
    void onlyDrawnVersionsAreExposures(String parameters, boolean exposure, String reason) {
        var details = client.getStringDetails("checkout", "v1", given("checkout=v2;" + parameters));
        assertEquals(exposure, details.getFlagMetadata().getBoolean("exposure"));
        assertEquals(reason, details.getReason());
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "'' | FLAG_NOT_FOUND", "other=v2;reason=split | FLAG_NOT_FOUND", "checkout | TYPE_MISMATCH",
        "checkout=(v1 v2) | TYPE_MISMATCH", "checkout=7;reason=split | TYPE_MISMATCH",
        "checkout=\u00ff | PARSE_ERROR", "checkout=v2;reason=split, , | PARSE_ERROR"
    })
    void theFallbackServesWithoutADecision(String header, ErrorCode code) {
        var details = client.getStringDetails("checkout", "v1", given(header));
        assertEquals("v1", details.getValue());
        assertEquals(code, details.getErrorCode());
    }

    @Test
    void versionsNamedOnAndOffAreBooleans() {
        var context = given("a=on;reason=split, b=off;reason=split, c=v2;reason=split");
        assertEquals(true, client.getBooleanValue("a", false, context));
        assertEquals(false, client.getBooleanValue("b", true, context));
        var details = client.getBooleanDetails("c", true, context);
        assertEquals(true, details.getValue());
        assertEquals(ErrorCode.TYPE_MISMATCH, details.getErrorCode());
    }
}
