// A number as a slider and as a field. Must not depend on other modules.

interface Props {
  label: string;
  unit?: string;
  value: number;
  range: [number, number];
  step: number;
  set: (value: number) => void;
}

export function Slider({ label, unit, value, range: [least, most], step, set }: Props) {
  const text = `${value}${unit === undefined ? "" : ` ${unit}`}`;
  const change = (input: string) => {
    const number = Number(input);
    if (input.trim() !== "" && Number.isFinite(number)) set(Math.min(Math.max(number, least), most));
  };
  return (
    <label>
      {label}: {text}
      <input type="range" min={least} max={most} step={step} value={value} aria-valuetext={text} onInput={(event) => change(event.currentTarget.value)} />
    </label>
  );
}
