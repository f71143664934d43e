import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.parser.StrictErrorHandler;
import ca.uhn.fhir.validation.FhirValidator;
import ca.uhn.fhir.validation.SingleValidationMessage;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import org.hl7.fhir.common.hapi.validation.support.CommonCodeSystemsTerminologyService;
import org.hl7.fhir.common.hapi.validation.support.InMemoryTerminologyServerValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.PrePopulatedValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.SnapshotGeneratingValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.UnknownCodeSystemWarningValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.ValidationSupportChain;
import org.hl7.fhir.common.hapi.validation.validator.FhirInstanceValidator;
import org.hl7.fhir.r4.model.StructureDefinition;
import org.hl7.fhir.r5.utils.validation.constants.BestPracticeWarningLevel;

/**
 * Reads one R4 resource a line and answers each with one line: to JSON, an array of what the validator finds, an object an
 * issue with severity, location, message and id; to XML, the resource in JSON. A StructureDefinition behind a plus sign is a
 * profile that what follows may claim, answered with an empty array. Ends when its input does.
 */
public final class Validate {
    private static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] arguments) throws IOException {
        // Answers have standard output for themselves, whatever a library prints.
        PrintStream answers = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        System.setOut(System.err);
        FhirContext context = FhirContext.forR4();
        PrePopulatedValidationSupport profiles = new PrePopulatedValidationSupport(context);
        FhirValidator validator = validator(context, profiles);
        BufferedReader resources = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String resource = resources.readLine(); resource != null; resource = resources.readLine()) {
            if (resource.startsWith("+")) {
                profiles.addStructureDefinition(
                        context.newJsonParser().parseResource(StructureDefinition.class, resource.substring(1)));
                answers.println("[]");
            } else {
                answers.println(
                        resource.startsWith("<") ? json(resource) : JSON.writeValueAsString(issues(validator, resource)));
            }
        }
    }

    private static String json(String xml) {
        FhirContext context = FhirContext.forR4Cached();
        try {
            return context.newJsonParser().encodeResourceToString(
                    context.newXmlParser().setParserErrorHandler(new StrictErrorHandler()).parseResource(xml));
        } catch (RuntimeException failure) {
            return JSON.createObjectNode().put("failure", failure.toString()).toString();
        }
    }

    private static FhirValidator validator(FhirContext context, PrePopulatedValidationSupport profiles) {
        // LOINC and MDC are not among R4's own code systems: their codes are a warning, everything else is checked.
        FhirInstanceValidator judge = new FhirInstanceValidator(new ValidationSupportChain(
                PublishedProfiles.corrected(context),
                profiles,
                new CommonCodeSystemsTerminologyService(context),
                new InMemoryTerminologyServerValidationSupport(context),
                new SnapshotGeneratingValidationSupport(context),
                new UnknownCodeSystemWarningValidationSupport(context)));
        judge.setErrorForUnknownProfiles(true);
        judge.setAnyExtensionsAllowed(false);
        judge.setBestPracticeWarningLevel(BestPracticeWarningLevel.Ignore);
        return context.newValidator().registerValidatorModule(judge);
    }

    private static ArrayNode issues(FhirValidator validator, String resource) {
        ArrayNode issues = JSON.createArrayNode();
        try {
            for (SingleValidationMessage found : validator.validateWithResult(resource).getMessages()) {
                issues.addObject()
                        .put("severity", found.getSeverity().getCode())
                        .put("location", found.getLocationString())
                        .put("message", found.getMessage())
                        .put("id", found.getMessageId());
            }
        } catch (RuntimeException failure) {
            issues.addObject().put("severity", "fatal").put("message", failure.toString());
        }
        return issues;
    }
}
