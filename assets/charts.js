// What of uPlot the console's charts use.
export { default as uPlot } from "uplot";
